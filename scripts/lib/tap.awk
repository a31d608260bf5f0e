# The verdict on the output of one test: TAP 12 to 14, as orca judges them. KTAP is not read.
#
#   awk -v status=N -f tap.awk OUTPUT      (lines end in LF alone)
#
# Prints "PASS (n tests)", "SKIP (reason)" or "FAIL (n tests): reasons". The exit status N is part
# of the verdict.

function fault(text) {
  if (text in said) return
  said[text] = 1
  reasons = reasons (reasons == "" ? "" : ", ") text
}

# The directive in a point's text: `skip`, `todo` or nothing. A `#` begins one if it is not escaped
# and has white space on a side.
function directive(text,    i, c, before, after) {
  for (i = 1; i <= length(text); i++) {
    c = substr(text, i, 1)
    if (c == "\\") { i++; continue }
    if (c != "#") continue
    before = i == 1 ? " " : substr(text, i - 1, 1)
    after = tolower(substr(text, i + 1))
    if (before !~ /[ \t\\]/ && after !~ /^[ \t]|^$/) continue
    sub(/^[ \t]+/, "", after)
    if (after ~ /^skip/) return "skip"
    return after ~ /^todo([^a-z0-9_]|$)/ ? "todo" : ""
  }
  return ""
}

function point(line,    good, number, what) {
  good = line !~ /^not /
  sub(/^(not )?ok[ \t]*/, "", line)
  run++
  number = run
  if (match(line, /^[0-9]+/)) {
    number = substr(line, 1, RLENGTH)
    line = substr(line, RLENGTH + 1)
    sub(/^0+/, "", number)
    if (number == "") number = 0
    if (version < 14 && number != run "") fault("point " number " at place " run)
  }
  if (version >= 14) {
    if (number in seen) fault("point " number " twice")
    seen[number] = 1
    if (length(number) > 9 || number + 0 > highest) highest = length(number) > 9 ? 1e9 : number + 0
    if (number == 0) fault("point 0")
  }
  if (plan != "" && plan_after) fault("a point after the plan")
  what = directive(line)
  if (number in excused) what = "todo"
  if (!good && what != "todo" && !(what == "skip" && version >= 14)) failed++
}

function planned(line) {
  if (plan != "") { fault("a second plan"); return }
  plan_after = run > 0
  match(line, /^1\.\.[0-9]+/)
  plan = substr(line, 4, RLENGTH - 3)
  sub(/^0+/, "", plan)
  if (plan == "") plan = "0"
  line = substr(line, RLENGTH + 1)
  if (tolower(line) ~ /^[ \t]+todo[ \t]/) {
    n = split(line, words, " ")
    for (i = 2; i <= n; i++) excused[words[i]] = 1
  }
  sub(/^[ \t]*#?[ \t]*([Ss][Kk][Ii][Pp][^ \t]*)?[ \t]*/, "", line)
  why = line
}

BEGIN { version = 12; run = failed = 0; plan = "" }
bailed { next }
yaml { if ($0 ~ /^[ \t]+\.\.\.[ \t]*$/) { yaml = 0; next } if ($0 ~ /^[ \t]|^$/) next; yaml = 0 }
/^[ \t]*[Bb][Aa][Ii][Ll] [Oo][Uu][Tt]!/ {
  bailed = 1
  sub(/^[^!]*![ \t]*/, "")
  fault("bailed out" ($0 == "" ? "" : ": " $0))
  next
}
/^[Tt][Aa][Pp][ \t]+[Vv][Ee][Rr][Ss][Ii][Oo][Nn][ \t]+[0-9]+[ \t]*$/ {
  if (started) fault("a late version line")
  else if ($3 ~ /^0/ || $3 < 13) fault("version " $3)
  else version = $3 + 0
  started = 1
  next
}
/^(not )?ok([^A-Za-z0-9_]|$)/ { started = 1; point($0); after_point = NR; next }
/^1\.\.[0-9]+[ \t]*($|#)/ || /^1\.\.[0-9]+[ \t]+([Ss][Kk][Ii][Pp]|[Tt][Oo][Dd][Oo])/ {
  started = 1
  planned($0)
  next
}
/^pragma[ \t]+[-+]/ && version >= 13 {
  if ($0 ~ /\+strict/) strict = 1
  if ($0 ~ /-strict/) strict = 0
  next
}
/^[ \t]+---/ && version >= 13 && after_point == NR - 1 { yaml = 1; next }
strict && !/^#/ && !/^(    |\t)/ { fault("an unknown line under pragma +strict") }
END {
  if (!bailed) {
    if (failed) fault("failed " failed " of " run)
    if (plan == "") fault("no plan")
    else if (plan != run "") fault("planned " plan ", ran " run)
    else if (highest > run) fault("a point beyond the plan")
  }
  if (status != 0) fault("exit status " status)
  if (reasons != "") printf "FAIL (%d tests): %s\n", run, reasons
  else if (plan == "0") printf "SKIP (%s)\n", (why == "" ? "no reason given" : why)
  else printf "PASS (%d tests)\n", run
}
