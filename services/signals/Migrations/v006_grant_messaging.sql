-- The relay marks what it has sent and sweeps; inbox rows and notes on dead events go after their time.
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox, inbox, dead_letters TO signals_app;
