-- Which apps want to hear of the end of which browser session (OpenID Connect Back-Channel Logout), and what waits to be told to apps.
CREATE TABLE "session_clients" (
    "session_hash" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "user_id" UUID NOT NULL,
    "sid" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "session_clients_pkey" PRIMARY KEY ("session_hash", "client_id")
);
CREATE INDEX "session_clients_user_id_idx" ON "session_clients"("user_id");
CREATE INDEX "session_clients_client_id_sid_idx" ON "session_clients"("client_id", "sid");
CREATE INDEX "session_clients_expires_at_idx" ON "session_clients"("expires_at");

CREATE TABLE "outgoing_calls" (
    "id" UUID NOT NULL,
    "client_id" TEXT NOT NULL,
    "sealed" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3),
    "give_up_at" TIMESTAMPTZ(3) NOT NULL,
    "last_error" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outgoing_calls_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "outgoing_calls_next_attempt_at_idx" ON "outgoing_calls"("next_attempt_at");
