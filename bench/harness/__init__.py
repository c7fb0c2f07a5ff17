"""What bench/run is made of: facts, the engine, the cases, the lines, the table."""
