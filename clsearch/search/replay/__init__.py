"""Replay: search policies run again and again over a table of complete trials, to see what each costs and finds.

worlds      what a search would have seen under other seeds, and what is true; what everything costs
space       the cells of the table as points of the search space
policies    the policies by name
searching   one search of one policy in one world
handing     what the policy hands out after each of its trials, and what that has cost
study       many repetitions, and what they say
show, svg   for people
"""
