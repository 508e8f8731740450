//! up: API server, operator, node agent and gateway on one machine.
