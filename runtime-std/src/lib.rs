//! Leader election with leases on blocking threads.
