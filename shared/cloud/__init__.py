"""Adapters for Firestore, Secret Manager and Pub/Sub: the only modules that import google.*"""
