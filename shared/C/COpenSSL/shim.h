/* SHA256_Init and friends are marked deprecated in OpenSSL 3 in favour of EVP, which looks its algorithm up on every use and keeps
   its state behind a pointer. The plain functions run the same assembly over a context that Swift can hold as a value. */
#define OPENSSL_SUPPRESS_DEPRECATED 1

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

/* EVP_EC_gen is a macro over a variadic function: Swift can call neither. */
static inline EVP_PKEY *auspex_p256_generate(void) { return EVP_EC_gen("P-256"); }

/* BIO_get_mem_data is a macro with a cast. */
static inline long auspex_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }
