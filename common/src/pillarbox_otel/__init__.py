"""Traces by OpenTelemetry. Only `sdk` imports it, and only when an exporter's endpoint is set."""
