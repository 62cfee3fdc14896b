//! WHERE: processes and their mapped files, which TLS code is in them, and the probes attached to it.
