//! Verbs, records, runtime roots: nothing starts, runs or is entered before it is sealed.
