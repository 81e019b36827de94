"""The small library behind the book: multimodal contrastive learning and its privacy.

Import the rooms you need, for example ``from mmlib import losses``; importing ``mmlib`` itself
loads none of them, touches no file and no network.
"""

__version__ = "0.1.0"
