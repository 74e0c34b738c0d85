"""A DrChrono to develop and test against: a real HTTP server with made-up records.

It follows the integration guide (`form="guide"`) or what is known of the live service (`form="live"`), and shares no
code with the client it is there to test: a mistake must not agree with itself.
"""

from simulator.config import Config
from simulator.simulator import Simulator

__all__ = ["Config", "Simulator"]
