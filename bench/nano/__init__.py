"""The bundled model: its word lists, data generator, training, export and card. Needed to rebuild it, never to run it."""
