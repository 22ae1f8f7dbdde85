"""Memory of a model before it is loaded, beside what runs measured."""
