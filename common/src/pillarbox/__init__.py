"""The message contract and JSON logging, shared by service1-api and service2-consumer; no settings, no AWS."""
