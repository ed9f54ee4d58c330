//! Limits, classes, keys and the arithmetic of quotas; pure, the time is an argument.
