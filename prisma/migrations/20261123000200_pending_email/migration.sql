-- Beside the token that proves it, so that an account is told from its row alone.
ALTER TABLE "users" ADD COLUMN "pending_email" TEXT,
ADD COLUMN "pending_email_until" TIMESTAMPTZ(3);
