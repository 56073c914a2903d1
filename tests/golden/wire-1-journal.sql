PRAGMA application_id=1835428980;
BEGIN TRANSACTION;
CREATE TABLE events (
	session TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (session, seq), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES('0123456789abcdef',1,'message.accepted',1.79595725763650965688e+09,'{"type":"message.accepted","seq":1,"session":"0123456789abcdef","turn":null,"time":1795957257.6365097,"parent":null,"message":"3f93f0f7-8a7f-4d23-afcc-2134bff8ea40","text":"do it","delivery":"steer"}');
INSERT INTO "events" VALUES('0123456789abcdef',2,'turn.started',1.79595725765261244773e+09,'{"type":"turn.started","seq":2,"session":"0123456789abcdef","turn":1,"time":1795957257.6526124,"parent":null,"origin":"message","messages":["3f93f0f7-8a7f-4d23-afcc-2134bff8ea40"]}');
INSERT INTO "events" VALUES('0123456789abcdef',3,'message.started',1.79595725765278029437e+09,'{"type":"message.started","seq":3,"session":"0123456789abcdef","turn":1,"time":1795957257.6527803,"parent":null,"message":"3f93f0f7-8a7f-4d23-afcc-2134bff8ea40"}');
INSERT INTO "events" VALUES('0123456789abcdef',4,'session.started',1.79595725765283632281e+09,'{"type":"session.started","seq":4,"session":"0123456789abcdef","turn":1,"time":1795957257.6528363,"parent":null,"agent":"fake","agent_version":"1","agent_session":"d67ef584-0dc6-453a-a8a0-c0c7d0c65edd","model":"fake-model","cwd":"/","tools":["AskUserQuestion","Bash","Read","TodoWrite","Write"],"skills":[],"problems":[]}');
INSERT INTO "events" VALUES('0123456789abcdef',5,'tool.started',1.79595725765287375446e+09,'{"type":"tool.started","seq":5,"session":"0123456789abcdef","turn":1,"time":1795957257.6528738,"parent":null,"call":"toolu_70922b5ca63244008a0942a9","name":"Bash","kind":"execute","title":": one","input":{"command":": one"}}');
INSERT INTO "events" VALUES('0123456789abcdef',6,'usage',1.7959572576529312134e+09,'{"type":"usage","seq":6,"session":"0123456789abcdef","turn":1,"time":1795957257.6529312,"parent":null,"cost_usd":0.000105,"total_cost_usd":0.000105,"estimated":false,"input_tokens":10,"output_tokens":5,"cache_read_tokens":0,"cache_write_tokens":0}');
INSERT INTO "events" VALUES('0123456789abcdef',7,'permission.requested',1.79595725765346121791e+09,'{"type":"permission.requested","seq":7,"session":"0123456789abcdef","turn":1,"time":1795957257.6534612,"parent":null,"request":"6b736ab4-64f5-4772-9707-e5bd2f3b94ff","call":"toolu_70922b5ca63244008a0942a9","name":"Bash","input":{"command":": one"},"effects":[{"type":"command","command":": one","cwd":"/"}],"rule":"Bash(: one)","reason":"","deadline":1795957857.653458}');
INSERT INTO "events" VALUES('0123456789abcdef',8,'permission.resolved',1.79595725766372323042e+09,'{"type":"permission.resolved","seq":8,"session":"0123456789abcdef","turn":1,"time":1795957257.6637232,"parent":null,"request":"6b736ab4-64f5-4772-9707-e5bd2f3b94ff","decision":"allow","by":"user","reason":"","rule":"Bash(: one)"}');
INSERT INTO "events" VALUES('0123456789abcdef',9,'tool.ended',1.79595725767739295957e+09,'{"type":"tool.ended","seq":9,"session":"0123456789abcdef","turn":1,"time":1795957257.677393,"parent":null,"call":"toolu_70922b5ca63244008a0942a9","name":"Bash","status":"completed","output":""}');
INSERT INTO "events" VALUES('0123456789abcdef',10,'tool.started',1.79595725767757987976e+09,'{"type":"tool.started","seq":10,"session":"0123456789abcdef","turn":1,"time":1795957257.6775799,"parent":null,"call":"toolu_09ddd100e090403e85b34b51","name":"Bash","kind":"execute","title":": two","input":{"command":": two"}}');
INSERT INTO "events" VALUES('0123456789abcdef',11,'usage',1.79595725767763423922e+09,'{"type":"usage","seq":11,"session":"0123456789abcdef","turn":1,"time":1795957257.6776342,"parent":null,"cost_usd":0.00021,"total_cost_usd":0.00021,"estimated":false,"input_tokens":20,"output_tokens":10,"cache_read_tokens":0,"cache_write_tokens":0}');
INSERT INTO "events" VALUES('0123456789abcdef',12,'permission.requested',1.7959572576790344715e+09,'{"type":"permission.requested","seq":12,"session":"0123456789abcdef","turn":1,"time":1795957257.6790345,"parent":null,"request":"638cc6b8-a8ac-42d3-8858-1be484bbbfe0","call":"toolu_09ddd100e090403e85b34b51","name":"Bash","input":{"command":": two"},"effects":[{"type":"command","command":": two","cwd":"/"}],"rule":"Bash(: two)","reason":"","deadline":1795957857.67903}');
INSERT INTO "events" VALUES('0123456789abcdef',13,'permission.resolved',1.79595725768084573748e+09,'{"type":"permission.resolved","seq":13,"session":"0123456789abcdef","turn":1,"time":1795957257.6808457,"parent":null,"request":"638cc6b8-a8ac-42d3-8858-1be484bbbfe0","decision":"allow","by":"user","reason":"","rule":"Bash(: two)"}');
INSERT INTO "events" VALUES('0123456789abcdef',14,'tool.ended',1.79595725768878316879e+09,'{"type":"tool.ended","seq":14,"session":"0123456789abcdef","turn":1,"time":1795957257.6887832,"parent":null,"call":"toolu_09ddd100e090403e85b34b51","name":"Bash","status":"completed","output":""}');
INSERT INTO "events" VALUES('0123456789abcdef',15,'text',1.79595725768888378145e+09,'{"type":"text","seq":15,"session":"0123456789abcdef","turn":1,"time":1795957257.6888838,"parent":null,"text":"done"}');
INSERT INTO "events" VALUES('0123456789abcdef',16,'usage',1.79595725768892621994e+09,'{"type":"usage","seq":16,"session":"0123456789abcdef","turn":1,"time":1795957257.6889262,"parent":null,"cost_usd":0.000315,"total_cost_usd":0.000315,"estimated":false,"input_tokens":30,"output_tokens":15,"cache_read_tokens":0,"cache_write_tokens":0}');
INSERT INTO "events" VALUES('0123456789abcdef',17,'message.answered',1.79595725768897175782e+09,'{"type":"message.answered","seq":17,"session":"0123456789abcdef","turn":1,"time":1795957257.6889718,"parent":null,"message":"3f93f0f7-8a7f-4d23-afcc-2134bff8ea40"}');
INSERT INTO "events" VALUES('0123456789abcdef',18,'turn.ended',1.79595725768899965287e+09,'{"type":"turn.ended","seq":18,"session":"0123456789abcdef","turn":1,"time":1795957257.6889997,"parent":null,"status":"completed","reason":"end_turn","text":"done","cost_usd":0.000315,"total_cost_usd":0.000315,"usage":{"input_tokens":30,"output_tokens":15,"cache_read_tokens":0,"cache_write_tokens":0},"steps":3,"duration_s":0.0363637070004188,"messages":["3f93f0f7-8a7f-4d23-afcc-2134bff8ea40"],"denials":[]}');
INSERT INTO "events" VALUES('0123456789abcdef',19,'rule.revoked',1.79595725769156122205e+09,'{"type":"rule.revoked","seq":19,"session":"0123456789abcdef","turn":null,"time":1795957257.6915612,"parent":null,"rule":"Bash(: two)"}');
INSERT INTO "events" VALUES('0123456789abcdef',20,'message.accepted',1.79595725769271326059e+09,'{"type":"message.accepted","seq":20,"session":"0123456789abcdef","turn":null,"time":1795957257.6927133,"parent":null,"message":"a8787d3f-3415-49a7-aea4-49cfa2953086","text":"and more","delivery":"steer"}');
INSERT INTO "events" VALUES('0123456789abcdef',21,'turn.started',1.79595725770358896253e+09,'{"type":"turn.started","seq":21,"session":"0123456789abcdef","turn":2,"time":1795957257.703589,"parent":null,"origin":"message","messages":["a8787d3f-3415-49a7-aea4-49cfa2953086"]}');
INSERT INTO "events" VALUES('0123456789abcdef',22,'message.started',1.7959572577036089897e+09,'{"type":"message.started","seq":22,"session":"0123456789abcdef","turn":2,"time":1795957257.703609,"parent":null,"message":"a8787d3f-3415-49a7-aea4-49cfa2953086"}');
INSERT INTO "events" VALUES('0123456789abcdef',23,'tool.started',1.79595725770365834236e+09,'{"type":"tool.started","seq":23,"session":"0123456789abcdef","turn":2,"time":1795957257.7036583,"parent":null,"call":"toolu_68917cb2b26140db99b778af","name":"Bash","kind":"execute","title":": three","input":{"command":": three"}}');
INSERT INTO "events" VALUES('0123456789abcdef',24,'usage',1.79595725770370173452e+09,'{"type":"usage","seq":24,"session":"0123456789abcdef","turn":2,"time":1795957257.7037017,"parent":null,"cost_usd":0.000105,"total_cost_usd":0.00042,"estimated":false,"input_tokens":10,"output_tokens":5,"cache_read_tokens":0,"cache_write_tokens":0}');
INSERT INTO "events" VALUES('0123456789abcdef',25,'permission.requested',1.79595725770496511455e+09,'{"type":"permission.requested","seq":25,"session":"0123456789abcdef","turn":2,"time":1795957257.704965,"parent":null,"request":"171129bb-bb63-43a8-992e-b604d2856ae3","call":"toolu_68917cb2b26140db99b778af","name":"Bash","input":{"command":": three"},"effects":[{"type":"command","command":": three","cwd":"/"}],"rule":"Bash(: three)","reason":"","deadline":1795957857.704962}');
INSERT INTO "events" VALUES('0123456789abcdef',26,'message.accepted',1.79595725771133351332e+09,'{"type":"message.accepted","seq":26,"session":"0123456789abcdef","turn":2,"time":1795957257.7113335,"parent":null,"message":"m2","text":"later","delivery":"queue"}');
CREATE TABLE hosts (
	id TEXT NOT NULL, 
	machine TEXT NOT NULL, 
	boot TEXT NOT NULL, 
	space TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	born DOUBLE NOT NULL, 
	address TEXT NOT NULL, 
	beat DOUBLE NOT NULL, 
	seen DOUBLE NOT NULL, 
	started DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hosts" VALUES('host','machine','boot','space',1,0.5,'/a.sock',1.0,1.0,1.0);
CREATE TABLE leases (
	session TEXT NOT NULL, 
	host TEXT, 
	generation INTEGER NOT NULL, 
	PRIMARY KEY (session), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "leases" VALUES('0123456789abcdef','host',1);
CREATE TABLE messages (
	session TEXT NOT NULL, 
	id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	delivery TEXT NOT NULL, 
	handed BOOLEAN NOT NULL, 
	turn INTEGER, 
	reason TEXT NOT NULL, 
	said BIGINT NOT NULL, 
	PRIMARY KEY (session, id), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "messages" VALUES('0123456789abcdef','3f93f0f7-8a7f-4d23-afcc-2134bff8ea40','answered','steer',0,1,'',1);
INSERT INTO "messages" VALUES('0123456789abcdef','a8787d3f-3415-49a7-aea4-49cfa2953086','started','steer',0,2,'',20);
INSERT INTO "messages" VALUES('0123456789abcdef','m2','accepted','queue',0,NULL,'',26);
CREATE TABLE meta (
	version INTEGER NOT NULL
);
INSERT INTO "meta" VALUES(1);
CREATE TABLE requests (
	session TEXT NOT NULL, 
	id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	asked BIGINT NOT NULL, 
	PRIMARY KEY (session, id), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "requests" VALUES('0123456789abcdef','6b736ab4-64f5-4772-9707-e5bd2f3b94ff','allow','user',7);
INSERT INTO "requests" VALUES('0123456789abcdef','638cc6b8-a8ac-42d3-8858-1be484bbbfe0','allow','user',12);
INSERT INTO "requests" VALUES('0123456789abcdef','171129bb-bb63-43a8-992e-b604d2856ae3','pending','',25);
CREATE TABLE sessions (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	agent TEXT NOT NULL, 
	cwd TEXT NOT NULL, 
	options TEXT NOT NULL, 
	parent TEXT NOT NULL, 
	created DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	seq BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	model TEXT NOT NULL, 
	permission_mode TEXT NOT NULL, 
	agent_session TEXT NOT NULL, 
	last TEXT NOT NULL, 
	pending TEXT NOT NULL, 
	turns INTEGER NOT NULL, 
	total_cost_usd DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "sessions" VALUES('0123456789abcdef','golden','fake','/','{"max_turns":null,"max_budget_usd":null,"timeout":null,"stall_timeout":null,"request_timeout":600.0,"on_usage_limit":null,"max_wait":21600.0,"agent":"fake","model":null,"cwd":"/","name":"golden","allowed_tools":null,"disallowed_tools":null,"permission_mode":"default","plugins":[],"skills":null,"system_prompt":null,"add_dirs":[],"effort":null,"setting_sources":null,"trust":null,"resume":null,"spent_usd":0.0,"agent_path":null,"server_url":null,"env":[],"mcp_servers":{}}','',1.7959572576301598549e+09,1.79595725771207809446e+09,26,'waiting','fake-model','default','d67ef584-0dc6-453a-a8a0-c0c7d0c65edd','Bash : three','["171129bb-bb63-43a8-992e-b604d2856ae3"]',2,0.00042);
CREATE INDEX ix_leases_host ON leases (host);
COMMIT;
