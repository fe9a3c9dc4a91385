#!/usr/bin/env bash
# Issues a code and asks for it until it is right. Needs curl. The service is at OTPD_URL
# (http://127.0.0.1:8080), and OTPD_API_KEY is the secret of an API key, if it has any.
set -euo pipefail

# field NAME prints a string or a number of the last answer.
field() { sed -nE 's/.*"'"$1"'":("([^"]*)"|([0-9]+)).*/\2\3/p' <<<"$answer"; }

# post OPERATION BODY leaves the answer, headers included, in $answer. One that says when to try again
# (429 and 503) is asked for again with the same body, and so is one that did not come. It fails after
# the fifth try, and rather than make the user wait for more than a minute.
post() {
  local wait
  for _ in 1 2 3 4 5; do
    answer=$(curl -sS -i --max-time 5 -H 'Content-Type: application/json' \
      -H @<(echo "${OTPD_API_KEY:+Authorization: Bearer $OTPD_API_KEY}") \
      --data-binary @- "${OTPD_URL:-http://127.0.0.1:8080}/v1/otp/$1" <<<"$2") || answer='Retry-After: 1'
    wait=$(sed -nE 's/^[Rr]etry-[Aa]fter: ([0-9]+).*/\1/p' <<<"$answer")
    [[ -n $wait ]] || return 0
    ((wait <= 60)) || break
    sleep "$wait"
  done
  echo "Try again later. $(field error)" >&2
  exit 1
}

# issued takes over a new code's context. An application sends the code to the user, and does not show it.
issued() {
  context=$(field context)
  [[ -n $context ]] || { field error >&2; exit 1; }
  echo "Code: $(field otp)"
}

post generate '{"identifier":"you@example.com"}'
issued
while read -r typed || [[ -n $typed ]]; do
  [[ $typed =~ ^[A-Za-z0-9\ -]+$ ]] || { echo 'That is not a code.'; continue; }
  post verify "{\"otp\":\"$typed\",\"context\":\"$context\"}"
  if [[ $(field status) == verified ]]; then
    echo 'Verified.'
    exit
  fi
  case $(field error_code) in
  INVALID_OTP) # it counts: the new context says so, and goes with the next attempt
    context=$(field context)
    field error
    (($(field attempts_remaining) > 0)) || exit 1
    ;;
  OTP_EXPIRED) # the verification goes on with a new code
    post resend "{\"context\":\"$context\"}"
    issued
    ;;
  *) # used, revoked, exhausted, ended: only a new verification helps
    field error >&2
    exit 1
    ;;
  esac
done
echo 'Nothing more was typed.' >&2
exit 1
