"""What gpu_programs.py is made of.

target      the machine that is compiled for, which need not be there
programs    what is compiled: functions, and shapes of their arguments
compiling   how long that takes, and what comes out
"""
