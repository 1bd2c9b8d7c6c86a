"""What benchmark_gpu.py is made of.

plan        what can be measured: measurements of jobs, each job a process of its own
scheduler   prepares several jobs at once (most of that is compiling), times them one by one
worker      the process of a job, as the scheduler sees it; job: as it sees itself
record      results: printed as they come, kept in JSON
bars        what the results are held against
sections    which measurements belong to which section; the other modules are their jobs
"""
