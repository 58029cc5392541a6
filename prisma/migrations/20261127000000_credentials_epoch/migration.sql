-- Counts what has ended the user's sign-ins: whatever was verified before the last of those is worth nothing afterwards.
ALTER TABLE "users" ADD COLUMN "credentials_epoch" INTEGER NOT NULL DEFAULT 0;
