"""Native decoders in processes of their own, where a crash costs one file and not the run: `pool.call`."""
