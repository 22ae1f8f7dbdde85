"""Speed and memory of a model that was not downloaded: a file of its true shape with random weights, measured.

`profiler` writes the file, has it measured by a process of its own (`child`, `measure`) and removes it; `page` says
what came out. Accuracy is not measured: random weights know nothing.
"""
