from shard import run

from .score import main

run(main)
