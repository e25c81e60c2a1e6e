//! A lease store in memory for Tenure: for tests, and for the threads of one process.
