-- The secret itself, sealed, of clients that need it as a key; all others have its hash alone.
-- AlterTable
ALTER TABLE "oauth_clients" ADD COLUMN     "client_secret_sealed" TEXT,
ADD COLUMN     "previous_secret_sealed" TEXT;
