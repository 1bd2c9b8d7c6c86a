"""The machine underneath: files that are complete or not there, processes, memory, caches."""
