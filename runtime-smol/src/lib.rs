//! Leader election with leases on smol.
