mod ccxt;
