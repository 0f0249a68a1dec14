"""Tests of service1-api."""
