-- The serving role says events, hears them and notes those that nobody could handle.
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox, inbox, dead_letters TO marketdata_app;
