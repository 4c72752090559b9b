"""Parts for one machine when nothing else is given: database, object store, sample warehouse."""
