//! A lease store in a SQLite file for Tenure: for the processes of one host.
