-- The same for SQLite and PostgreSQL.
CREATE TABLE IF NOT EXISTS products (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

-- Amounts are in minor units of the currency; times are RFC 3339. Those that are compared have milliseconds, three digits.
CREATE TABLE IF NOT EXISTS orders (
    id             TEXT PRIMARY KEY,
    status         TEXT NOT NULL CHECK (status IN ('open', 'paid', 'refunded')),
    amount         BIGINT NOT NULL,
    currency       TEXT NOT NULL,
    customer_email TEXT,
    paid_at        TEXT,
    fulfilled_at   TEXT,
    refunded_at    TEXT
);

-- What was given back of an order, in its currency.
CREATE TABLE IF NOT EXISTS refunds (
    order_id TEXT NOT NULL REFERENCES orders (id),
    id       TEXT NOT NULL,
    amount   BIGINT NOT NULL,
    added_at TEXT NOT NULL,
    PRIMARY KEY (order_id, id)
);

CREATE TABLE IF NOT EXISTS order_items (
    order_id   TEXT NOT NULL REFERENCES orders (id),
    position   BIGINT NOT NULL,
    product_id TEXT NOT NULL REFERENCES products (id),
    quantity   BIGINT NOT NULL,
    unit_price BIGINT NOT NULL,
    PRIMARY KEY (order_id, position)
);

CREATE TABLE IF NOT EXISTS users (
    id    TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    name  TEXT
);

INSERT INTO products (id, name)
VALUES ('lamp', 'Desk lamp, brass'), ('bulb', 'Filament bulb, 40 W'), ('purchase', 'Your purchase')
ON CONFLICT DO NOTHING;

INSERT INTO orders (id, status, amount, currency) VALUES ('order-1001', 'open', 5300, 'USD') ON CONFLICT DO NOTHING;

INSERT INTO order_items (order_id, position, product_id, quantity, unit_price)
VALUES ('order-1001', 1, 'lamp', 1, 4500), ('order-1001', 2, 'bulb', 2, 400)
ON CONFLICT DO NOTHING;
