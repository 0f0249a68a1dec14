"""The end-to-end tests and scripts. It is a package, so the package-scoped pipeline of the tests ends with them."""
