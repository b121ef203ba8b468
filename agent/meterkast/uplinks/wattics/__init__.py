"""Wattics: electricity, gas, water, heat and any other number, over HTTPS.

Light to import: aiohttp comes with the first packet that is sent.
"""

from meterkast.uplinks.wattics.settings import Settings as Settings
from meterkast.uplinks.wattics.uplink import create as create
