"""What the functions share: pure rules here, the API client, the stores and the shared state below."""
