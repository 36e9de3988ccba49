"""``synthenv train``, ``evaluate`` and ``plot``: what agents learn in a proxy, and what it shows them."""
