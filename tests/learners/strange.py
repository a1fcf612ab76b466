"""Files as strangers have them. Of each: what it is, its bytes, and what becomes of whom: `A+` is active afterwards,
`B-` inactive; then how many lines are refused, and why; or the beginning of why the file is."""

HEAD, A, B = "id,email,status\n", "A,a@x.example,Active\n", "B,b@x.example,Suspended\n"
BOTH = HEAD + A + B
NAMED = "id,email,status,first name\n"
LONG = "x" * 1_000_000

Strange = tuple[str, str | bytes, str]

#: How its cells and lines are set apart.
FORMS: list[Strange] = [
    ("semicolons", BOTH.replace(",", ";"), "A+ B-"),
    ("tabs", BOTH.replace(",", "\t"), "A+ B-"),
    ("bars", BOTH.replace(",", "|"), "A+ B-"),
    ("colons", BOTH.replace(",", ":"), "There is no column for the learner's id"),
    ("columns of blanks", BOTH.replace(",", "   "), "There is no column for the learner's id"),
    (
        "semicolons, and commas in names",
        'id;email;"name, first";status\nA;a@x.example;"x, y";Active\nB;b@x.example;"z, w";Suspended\n',
        "A+ B-",
    ),
    ("the delimiter first", b"\xef\xbb\xbfsep=;\r\n" + BOTH.replace(",", ";").encode(), "A+ B-"),
    ("the delimiter in quotation marks", '"sep=,"\n' + BOTH, "A+ B-"),
    ("the wrong delimiter first", "sep=;\n" + BOTH, "A+ B-"),
    ("CRLF", BOTH.replace("\n", "\r\n"), "A+ B-"),
    ("CR", BOTH.replace("\n", "\r"), "A+ B-"),
    ("LFCR", BOTH.replace("\n", "\n\r"), "A+ B-"),
    (
        "all kinds of ends",
        HEAD + A.replace("\n", "\r\n") + B.replace("\n", "\r") + "C,c@x.example,suspended\n",
        "A+ B- C-",
    ),
    ("UTF-16", BOTH.encode("utf-16"), "A+ B-"),
    ("UTF-16 and no mark", BOTH.encode("utf-16-le"), "A+ B-"),
    ("UTF-16 and tabs", BOTH.replace(",", "\t").encode("utf-16"), "A+ B-"),
    ("UTF-32", BOTH.encode("utf-32"), "A+ B-"),
    ("the end of a file of DOS", BOTH.encode() + b"\x1a", "A+ B- 1 wrong number of cells"),
    ("NUL", HEAD + "A\0,a@x.example,Active\n" + B, "B- 1 character NUL"),
    ("blanks behind commas", BOTH.replace(",", ", "), "A+ B-"),
    ("quoted after a blank", 'id, email, status\nA, a@x.example, "Active"\nB, b@x.example, "Suspended"\n', "A+ B-"),
    ("each line quoted", '"id,email,status"\n"A,a@x.example,Active"\n', "There is no column for the learner's id"),
    ("single quotation marks", "'id','email','status'\n'B','b@x.example','Suspended'\n", "1 bad e-mail"),
    ("nothing", "", "The file is empty"),
    ("empty lines", "\n\n\n", "The file is empty"),
    ("a mark of order", b"\xef\xbb\xbf", "The file is empty"),
    ("a header", HEAD, ""),
    ("JSON", '[{"id":"A","status":"Suspended"}]', "The header cannot be read"),
    ("XML", '<?xml version="1.0"?><a/>', "There is no column for the learner's id"),
]

#: Where its columns are, and what they are called.
COLUMNS: list[Strange] = [
    (
        "two columns of status",
        "id,email,status,status\nA,a@x.example,Active,Active\nB,b@x.example,Active,Suspended\n",
        "A+ B-",
    ),
    ("two of the id", "id,email,status,id\nA,a@x.example,Active,A\n", "'id', 'id' could each be the column learner"),
    (
        "two of the address",
        "id,email,status,email\nA,a@x.example,Active,\n",
        "'email', 'email' could each be the column",
    ),
    ("empty columns behind", "id,email,status,,\nA,a@x.example,Active,,\nB,b@x.example,Suspended,,\n", "A+ B-"),
    ("empty cells behind", f"{HEAD}A,a@x.example,Active,,\nB,b@x.example,Suspended,,\n", "2 wrong number of cells"),
    ("a title above", f"Our learners\nof today\n{BOTH}", "There is no column for the learner's id"),
    ("a title above, with cells", f"Our learners,,\nof today,,\n{BOTH}", "There is no column for the learner's id"),
    ("a total", f"{BOTH}Total,2,\n", "A+ B- 1 bad e-mail"),
    ("another total", f"{BOTH}Total: 2,,\n", "A+ B- 1 neither username nor e-mail"),
    ("a short total", f"{BOTH}2 rows\n", "A+ B- 1 wrong number of cells"),
    ("one column", "id\nA\nB\n", "There is no column for the username"),
    ("addresses alone", "email\na@x.example\n", "There is no column for the learner's id"),
    ("the header again", f"{HEAD}{A}{HEAD}{B}", "A+ B-"),
    (
        "who suspended",
        "id,email,status,Suspended by\nA,a@x.example,Active,\nB,b@x.example,Active,admin\n",
        "The column 'Suspended by'",
    ),
    (
        "a status of before",
        "id,email,previous status,current status\nB,b@x.example,Suspended,Active\n",
        "The column 'previous status'",
    ),
    ("a status of courses", "id,email,course status\nB,b@x.example,Suspended\n", "No column says who is inactive"),
    ("active since", "id,email,Active since\nB,b@x.example,2020-01-01\n", "No column says who is inactive"),
    ("Polish", "id,email,aktywny\nA,a@x.example,tak\nB,b@x.example,nie\n", "No column says who is inactive"),
    ("Russian", "id,email,активен\nB,b@x.example,нет\n", "No column says who is inactive"),
]

#: What its cells say.
CELLS: list[Strange] = [
    (
        "line breaks",
        'id,email,status,first name\nA,a@x.example,Active,"x\ny"\nB,b@x.example,Suspended,"x\r\ny"\n',
        "A+ B-",
    ),
    ("a status of two lines", f'{HEAD}{A}B,b@x.example,"Suspended\nby HR"\n', "A+ 1 unknown status"),
    (
        "quotation marks",
        'id,email,status,first name\nA,a@x.example,Active,"x ""y"" z"\nB,b@x.example,Suspended,"a ""b"""\n',
        "A+ B-",
    ),
    (
        "broken quotation marks",
        f'{NAMED}A,a@x.example,Active,x "y" z\nB,b@x.example,Suspended,"a "b""\nC,c@x.example,Suspended,z\n',
        "A+ C- 1 broken quotation marks",
    ),
    (
        "backslashes",
        'id,email,status,first name\nA,a@x.example,Active,x\\,\nB,b@x.example,Suspended,y\\"\n',
        "B- 1 wrong number of cells",
    ),
    (
        "a name of a million letters",
        f"id,email,status,first name\nA,a@x.example,Active,{LONG}\n{B[:-1]},y\n",
        "B- 1 broken quotation marks",
    ),
    (
        "a quoted name of a million",
        f'id,email,status,first name\nA,a@x.example,Active,"{LONG}"\n{B[:-1]},y\n',
        "B- 1 broken quotation marks",
    ),
    (
        "formulas",
        f'{HEAD}A,a@x.example,="Active"\nB,b@x.example,="Suspended"\nC,c@x.example,\'Suspended\nD,d@x.example,=Suspended\n',
        "A+ B- C- 1 unknown status",
    ),
    ("a date for a status", f"{HEAD}{A}B,b@x.example,2024-01-01\n", "A+ 1 unknown status"),
    (
        "a date behind a status",
        f"{HEAD}B,b@x.example,Suspended 2024-01-01\nC,c@x.example,Inactive (2024)\nE,e@x.example,Active/Suspended\n",
        "B- C- 1 unknown status",
    ),
    (
        "none of several kinds",
        f"{HEAD}B,b@x.example,NULL\nC,c@x.example,N/A\nD,d@x.example,-\nE,e@x.example,\n",
        "4 unknown status",
    ),
    ("wide letters", f"{HEAD}A,a@x.example,Ａｃｔｉｖｅ\nB,b@x.example,Ｓｕｓｐｅｎｄｅｄ\n", "A+ B-"),
    ("a letter of another alphabet", f"{HEAD}B,b@x.example,Suspend\u0435d\n", "1 unknown status"),
    ("HTML", f"{HEAD}B,b@x.example,<b>Suspended</b>\nC,c@x.example,&nbsp;Suspended\n", "2 unknown status"),
    ("pictures", f"{HEAD}A,a@x.example,✅\nB,b@x.example,❌\n", "2 unknown status"),
    ("tabs", f'{HEAD}A,a@x.example,"Active\t"\nB,b@x.example,"\tSuspended"\n', "A+ B-"),
    ("several addresses", f"{HEAD}A,a@x.example;a2@x.example,Active\n{B}", "B- 1 bad e-mail"),
    ("Active?", "id,email,Active?\nA,a@x.example,Yes\nB,b@x.example,No\n", "A+ B-"),
    ("Is active (Y/N)", "id,email,Is active (Y/N)\nA,a@x.example,Y\nB,b@x.example,N\n", "A+ B-"),
    ("Not active?", "id,email,Not active?\nA,a@x.example,No\nB,b@x.example,Yes\n", "A+ B-"),
    ("numbers", "id,email,active\nA,a@x.example,1\nB,b@x.example,0\nC,c@x.example,2\n", "A+ B- 1 unknown status"),
    ("French", "id,email,actif\nA,a@x.example,oui\nB,b@x.example,non\n", "A+ B-"),
    ("German", "id,email,aktiv\nA,a@x.example,Ja\nB,b@x.example,Nein\n", "A+ B-"),
    ("Portuguese", "id,email,ativo\nA,a@x.example,Sim\nB,b@x.example,Não\n", "A+ B-"),
    ("Italian", "id,email,attivo\nA,a@x.example,Sì\nB,b@x.example,No\n", "A+ B-"),
    ("Spanish", "id,email,activo\nA,a@x.example,Sí\nB,b@x.example,No\n", "A+ B-"),
    ("Dutch", "id,email,actief\nA,a@x.example,ja\nB,b@x.example,nee\n", "A+ B-"),
    ("Turkish", "id,email,active\nA,a@x.example,Evet\nB,b@x.example,Hayır\n", "2 unknown status"),
    ("boxes", "id,email,suspended\nB,b@x.example,[x]\nC,c@x.example,[ ]\n", "B- 1 unknown status"),
]

#: Whom it is about.
IDS: list[Strange] = [
    ("ids in capitals and not", f"{HEAD}Abc,a@x.example,Active\nABC,b@x.example,Suspended\n", "ABC- Abc+"),
    ("blanks around an id", f"{HEAD}A,a@x.example,Active\n A ,b@x.example,Suspended\n", "A- 1 repeated id"),
    ("twice, and inactive later", f"{HEAD}A,a@x.example,Active\nA,a@x.example,Suspended\n", "A- 1 repeated id"),
    ("twice, and active later", f"{HEAD}A,a@x.example,Suspended\nA,a@x.example,Active\n", "A- 1 repeated id"),
    ("zeros before an id", f"{HEAD}007,a@x.example,Active\n7,b@x.example,Suspended\n", "007+ 7-"),
    (
        "ids with a fraction",
        f"{HEAD}7.0,a@x.example,Active\n8,b@x.example,Suspended\n",
        "8- 1 changed by a spreadsheet",
    ),
    (
        "ids with a longer fraction",
        f"{HEAD}7.00,a@x.example,Active\n8,b@x.example,Suspended\n",
        "8- 1 changed by a spreadsheet",
    ),
    (
        "usernames with a fraction, and no address",
        "id,username,status\nA,a,Active\nB,7.00,Active\nC,7.0,Active\n",
        "A+ 2 changed by a spreadsheet",
    ),
    (
        "an id with a fraction behind a comma",
        "id;email;status\n12,00;a@x.example;Active\n8;b@x.example;Suspended\n",
        "8- 1 changed by a spreadsheet",
    ),
    (
        "a username with a fraction behind a comma",
        "id\tusername\tstatus\nA\ta\tActive\nB\t7,0\tActive\n",
        "A+ 1 changed by a spreadsheet",
    ),
    (
        "ids with a small exponent",
        f"{HEAD}1E-05,a@x.example,Active\n8,b@x.example,Suspended\n",
        "8- 1 changed by a spreadsheet",
    ),
    (
        "an id with a control character beyond ASCII",
        f"{HEAD}A\u0085B,a@x.example,Active\n8,b@x.example,Suspended\n",
        "8- 1 invisible characters",
    ),
    (
        "accents in two ways",
        f"{HEAD}e\u0301,a@x.example,Active\n\u00e9,b@x.example,Suspended\n",
        "\u00e9- 1 repeated id",
    ),
]
