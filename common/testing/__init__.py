"""What the tests of all packages share. It is never installed, so no image has it."""
