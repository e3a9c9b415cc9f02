"""What both sides stand on: settings, errors, storage, the doorbell. Imports neither `api` nor `worker`."""
