"""RESET: air, energy, water and circularity monitors, over Socket.IO.

Light to import: python-socketio and aiohttp come with the first connection.
"""

from meterkast.uplinks.reset.settings import Settings as Settings
from meterkast.uplinks.reset.uplink import create as create
