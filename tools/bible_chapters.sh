#!/bin/sh
# tools/bible_chapters.sh DIR: writes the text of the Debian package bible-kjv as documents, a chapter
# each, into DIR/train.jsonl and, every twentieth of them, DIR/held_out.jsonl.
set -eu
mkdir -p "$1"
# A line of the program is a verse: "Ge1:1 In the beginning ..."
bible -f gen1:1-rev22:21 </dev/null | awk -v folder="$1" '
function write_chapter() {
    if (text == "") return
    file = folder (++chapters % 20 == 0 ? "/held_out.jsonl" : "/train.jsonl")
    printf "{\"chapter\": \"%s\", \"text\": \"%s\"}\n", chapter, text >file ".part"
    text = ""
}
{
    verse = substr($0, length($1) + 2)
    gsub(/["\\]/, "\\\\&", verse)
    sub(/:[0-9]+$/, "", $1)
    if ($1 != chapter) write_chapter()
    chapter = $1
    text = text (text == "" ? "" : " ") verse
}
END {
    write_chapter()
    if (chapters == 1189) exit
    print "bible printed " chapters + 0 " chapters, wanted all 1189" >"/dev/stderr"
    exit 1
}'
for name in train held_out; do mv "$1/$name.jsonl.part" "$1/$name.jsonl"; done
