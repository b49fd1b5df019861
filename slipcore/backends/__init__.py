"""The built-in backends, registered through the same hooks as everybody's."""
