"""The end-to-end tests and the scripts that users run; a package, so that the tests' pipeline ends with them."""
