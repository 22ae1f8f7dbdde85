"""Models and tokens: loading, prompting, constraining, decoding, metering. Knows no suite, score or report."""
