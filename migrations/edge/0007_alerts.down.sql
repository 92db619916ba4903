DELETE FROM node WHERE name = 'alert_letters_dropped';
DROP TABLE outbox;
DROP TABLE alert_runs;
DROP TABLE alerts;
DROP TABLE alert_rules;
