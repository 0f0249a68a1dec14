"""The message contract, JSON logging and the base of the settings, shared by both services; no AWS."""
