module tandem.test/standin

go 1.26.0
