-- OIDC Core §8.1: whom a pairwise subject means, for clients that may name a person by one (CIBA Core §7.1, id_token_hint).
CREATE TABLE "pairwise_subjects" (
    "subject_hash" TEXT NOT NULL,
    "user_id" UUID NOT NULL,

    CONSTRAINT "pairwise_subjects_pkey" PRIMARY KEY ("subject_hash")
);
CREATE INDEX "pairwise_subjects_user_id_idx" ON "pairwise_subjects"("user_id");
ALTER TABLE "pairwise_subjects" ADD CONSTRAINT "pairwise_subjects_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;
