-- The service writes events into the outbox, its relay marks and deletes them; version 6 made the tables.
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox, inbox, dead_letters TO auth_app;
