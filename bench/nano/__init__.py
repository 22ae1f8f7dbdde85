"""The bundled model: its word lists, data generator, training and export. Needed to rebuild it, never to run it."""
