INSERT INTO riqle.email_events (email, at, detail, text, occurred_at, provider_event_id)
VALUES ($1, $2, $3, $4, $5, $6)
